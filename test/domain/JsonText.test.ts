import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { memberOf } from "../../src/domain/JsonText.ts"

// None is a single character that is written with an escape: V8 of Node 24 confuses such keys with "\\\\".
const names = Schema.Literals(["value", "topic", "", 'a"b', "\\\\", "\u0000a", "😀", "__proto__", "va\\lue"])
const pairs = Schema.Array(Schema.Tuple([names, Schema.Json])).check(Schema.isMinLength(1), Schema.isMaxLength(6))
const gaps = Schema.Literals(["", " ", "\n\t", "\r\n  "])

describe("The text of a member", () => {
  it("is what was written, to the last digit and space", () => {
    const text = ' { "topic" : "t" ,\n"value": { "amount" : 1.10e0 , "n":12345678901234567890.0100 } , "last":1 }'
    assert.strictEqual(memberOf(text, "value"), '{ "amount" : 1.10e0 , "n":12345678901234567890.0100 }')
    assert.strictEqual(memberOf('{"amount":0.10}', "amount"), "0.10")
    assert.strictEqual(memberOf('{"a":[{"value":1}],"value":"}\\""}', "value"), '"}\\""')
  })

  it("is there under a name that was written with escapes, and the last of several counts", () => {
    assert.strictEqual(memberOf('{"v\\u0061lue":1}', "value"), "1")
    assert.strictEqual(memberOf('{"value":1,"value":2}', "value"), "2")
  })

  it.each(["[]", '"value"', "1", "null", "{}", ' { "other": {"value": 1} } '])("is not there in %s", (text) => {
    assert.isUndefined(memberOf(text, "value"))
  })

  it.prop(
    "means what the whole text means",
    { members: pairs, name: names, gap: gaps },
    ({ gap, members, name }) => {
      const written = members.map(
        ([key, value]) => `${gap}${JSON.stringify(key)}${gap}:${gap}${JSON.stringify(value, undefined, gap)}${gap}`
      )
      const text = `${gap}{${written.join(",")}}${gap}`
      const parsed = JSON.parse(text)
      const member = memberOf(text, name)
      assert.strictEqual(member !== undefined, Object.hasOwn(parsed, name))
      if (member !== undefined) assert.deepStrictEqual(JSON.parse(member), parsed[name])
    },
    { arbitrary: { runs: 500, size: 20 } }
  )
})
