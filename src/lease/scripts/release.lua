-- Removes a lock that is ours, and no other.
-- KEYS[1] lock    ARGV[1] holder    returns how many were removed
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
