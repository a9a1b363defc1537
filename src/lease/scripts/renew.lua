-- Renews a lock that is ours. Whatever else is under the key is not ours, of any type.
-- KEYS[1] lock    ARGV[1] holder    ARGV[2] milliseconds to live    returns 1 when it is ours, 0 when not
if redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
