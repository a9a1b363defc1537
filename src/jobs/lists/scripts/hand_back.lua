-- Returns one received id to the front of the ready list.
-- KEYS[1] ready list    KEYS[2] processing list    ARGV[1] id    returns 1 if it was ours
if redis.call('LREM', KEYS[2], 1, ARGV[1]) == 1 then
  redis.call('RPUSH', KEYS[1], ARGV[1])
  return 1
end
return 0
