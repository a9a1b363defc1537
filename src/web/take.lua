-- Takes one request from an allowance.
-- KEYS[1] the allowance   ARGV: now, interval, window (all milliseconds)
-- Returns the moment it would be full again with this request taken; beyond now + window it was not taken.
local now, interval, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
if full_at - now <= window then
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', full_at - now)
end
return full_at
