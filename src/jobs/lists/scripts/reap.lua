-- Moves the ids of a dead worker back to the front of the ready list, the oldest to be taken first. A processing list of
-- the wrong type is removed.
-- KEYS[1] workers set    KEYS[2] its processing list    KEYS[3] ready list
-- ARGV[1] worker    ARGV[2] at most this many ids    returns how many were moved, -1 if the worker is alive
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if deadline and tonumber(deadline) > now then
  return -1
end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'list' and kind ~= 'none' then
  redis.call('DEL', KEYS[2])
end
local moved = 0
while moved < tonumber(ARGV[2]) do
  if not redis.call('LMOVE', KEYS[2], KEYS[3], 'LEFT', 'RIGHT') then
    redis.call('ZREM', KEYS[1], ARGV[1])
    break
  end
  moved = moved + 1
end
return moved
