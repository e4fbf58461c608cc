/**
 * What is done with an idempotency key in Redis: a script each, so that nobody comes between.
 *
 * A key is a hash of fingerprint, token, lease_until and answer, which Redis removes when it has expired. Times are
 * Redis's own. A token is the time in microseconds, or one more than the last: higher than any before, also than those
 * of a key that has expired or was lost.
 */

const clock = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local millis = math.floor(micros / 1000)`

/** Arguments: fingerprint, lease and retention in milliseconds. Gives what became of it, and its value. */
export const claim = `${clock}
local row = redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'lease_until', 'answer')
if row[1] then
  if row[1] ~= ARGV[1] then return {'OtherRequest', ''} end
  if row[4] then return {'Completed', row[4]} end
  if tonumber(row[3]) > millis then return {'UnderWay', string.format('%.0f', row[3] - millis)} end
end
local token = string.format('%.0f', math.max(micros, (row[2] or 0) + 1))
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', token,
  'lease_until', string.format('%.0f', millis + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'Claimed', token}`

const unlessHeld = (otherwise: string) => `
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'answer') == 1 then
  return ${otherwise}
end`

/** Arguments: token and answer. Gives whether the answer was stored. */
export const complete = `${unlessHeld("0")}
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
return 1`

/** Argument: token. */
export const release = `${unlessHeld("0")}
redis.call('HSET', KEYS[1], 'lease_until', '0')
return 1`
