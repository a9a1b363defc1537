-- Removes keys of a queue that have the wrong type: their contents can be restored from the rows.
-- KEYS[1] ready list    KEYS[2] processing list    KEYS[3] workers set    returns how many were removed
local removed = 0
for index, wanted in ipairs({'list', 'list', 'zset'}) do
  local found = redis.call('TYPE', KEYS[index]).ok
  if found ~= 'none' and found ~= wanted then
    removed = removed + redis.call('DEL', KEYS[index])
  end
end
return removed
