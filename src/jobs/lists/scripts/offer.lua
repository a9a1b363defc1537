-- Puts ids on the ready list unless they are on it. The oldest id comes first in ARGV, so that it is taken first.
-- KEYS[1] ready list    ARGV ids (at most 200)    returns how many were added
local added = 0
for _, id in ipairs(ARGV) do
  if not redis.call('LPOS', KEYS[1], id) then
    redis.call('LPUSH', KEYS[1], id)
    added = added + 1
  end
end
return added
