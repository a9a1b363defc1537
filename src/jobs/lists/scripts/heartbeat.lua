-- Records the heartbeat of a worker, by the clock of Redis.
-- KEYS[1] workers set    ARGV[1] worker    ARGV[2] milliseconds until it counts as dead    returns the deadline
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
redis.call('ZADD', KEYS[1], deadline, ARGV[1])
return deadline
