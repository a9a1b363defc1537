-- Lists the workers whose heartbeat has expired, by the clock of Redis.
-- KEYS[1] workers set    ARGV[1] at most this many    returns their names
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
