"""What the cache of histories runs inside of Redis, each in one step. `redis_histories` says what the values hold."""

import hashlib
from functools import cache
from typing import Final

# Writes a key unless it holds a newer version of the same epoch. A key that holds another type is overwritten.
# Comparing the bytes of versions compares numbers.
_WRITE: Final = """
  local held = redis.pcall('GETRANGE', key, 0, 23)
  if type(held) ~= 'string' or string.sub(held, 1, 16) ~= string.sub(value, 1, 16)
    or string.sub(held, 17) <= string.sub(value, 17, 24) then
    redis.call('SET', key, value, 'PX', ARGV[1])
  end
"""

# Drops own writes: those of counted events, and those of before the user's last erasure. A log remembers its number,
# for the writes that come late. `value` begins with the epoch.
_SETTLE: Final = """
  local log = (counted ~= '' or erased ~= '') and redis.pcall('GET', own)
  if type(log) == 'table' and not string.find(log.err, 'WRONGTYPE') then
    return log
  end
  if type(log) ~= 'string' or string.sub(log, 1, 16) ~= string.sub(value, 1, 16) then
    log = erased ~= '' and string.sub(value, 1, 16) .. none
  end
  if log then
    local last, done, left, at = string.sub(log, 17, 24), {}, {}, 25
    if erased > last then
      last = erased
    end
    for j = 1, #counted, 8 do
      done[string.sub(counted, j, j + 7)] = true
    end
    while at + 1 <= #log do
      local after = at + 2 + 256 * string.byte(log, at) + string.byte(log, at + 1)
      if not done[string.sub(log, at + 2, at + 9)] and string.sub(log, at + 10, at + 13) >= string.sub(last, 5) then
        left[#left + 1] = string.sub(log, at, after - 1)
      end
      at = after
    end
    if #left == 0 and last == none then
      redis.call('UNLINK', own)
    else
      redis.call('SET', own, string.sub(log, 1, 16) .. last .. table.concat(left), 'PX', ARGV[1])
    end
  end
"""

# Both for each user, in one step. KEYS: that of a history and that of own writes, for each user. ARGV: milliseconds to
# live, then for each user a value, a former key, the keys of counted events, and the number of an erasure.
WRITE_NEWER: Final = f"""
local none = string.rep('\\0', 8)
for i = 1, #KEYS, 2 do
  local key, own = KEYS[i], KEYS[i + 1]
  local value, former, counted, erased = ARGV[2 * i], ARGV[2 * i + 1], ARGV[2 * i + 2], ARGV[2 * i + 3]
  {_WRITE}
  redis.pcall('UNLINK', former)
  {_SETTLE}
end
"""

# The same of one key each, for a cluster: while a slot moves, its nodes refuse a script that has two. The history comes
# first: own writes that outlive their count do no harm. ARGV: milliseconds to live, and a value.
WRITE_HISTORY: Final = f"""
local key, value = KEYS[1], ARGV[2]
{_WRITE}
"""
# ARGV: milliseconds to live, the epoch, the keys of counted events, and the number of an erasure.
SETTLE_OWN_WRITES: Final = f"""
local none = string.rep('\\0', 8)
local own, value, counted, erased = KEYS[1], ARGV[2], ARGV[3], ARGV[4]
{_SETTLE}
"""

# Adds records to each key, and drops the oldest beyond the bound. What is of another epoch, or no string, is replaced.
# ARGV: milliseconds to live, an empty entry of the epoch, the most bytes, then the records of each key.
ADD_RECORDS: Final = """
for i, key in ipairs(KEYS) do
  local log = redis.pcall('GET', key)
  if type(log) == 'table' and not string.find(log.err, 'WRONGTYPE') then
    return log
  end
  if type(log) ~= 'string' or #log < 24 or string.sub(log, 1, 16) ~= string.sub(ARGV[2], 1, 16) then
    log = ARGV[2]
  end
  log = log .. ARGV[3 + i]
  local at, most = 25, tonumber(ARGV[3])
  while #log - at >= most do
    at = at + 2 + 256 * string.byte(log, at) + string.byte(log, at + 1)
  end
  if at > 25 then
    log = string.sub(log, 1, 24) .. string.sub(log, at)
  end
  redis.call('SET', key, log, 'PX', ARGV[1])
end
"""

# Counts the probes of all processes. What is not a number is replaced. ARGV: milliseconds to live.
COUNT_PROBE: Final = """
local count = redis.pcall('INCRBY', KEYS[1], 1)
if type(count) ~= 'number' then
  redis.call('DEL', KEYS[1])
  count = redis.call('INCRBY', KEYS[1], 1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return count
"""


@cache
def sha_of(script: str) -> str:
    """The name by which `EVALSHA` calls it."""
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
