/** What is read of the text of objects: all of it but who manages which field, whatever names are in it. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { objectOf, parse } from "../../../src/layers/kubernetes/WireObjects.ts"
import { runs } from "../../support/Sights.ts"

const managed = (...names: ReadonlyArray<string>) =>
  names.map((name) => ({
    manager: name,
    operation: "Update",
    fieldsType: "FieldsV1",
    fieldsV1: { "f:metadata": { [`f:${name}`]: {}, [`k:${JSON.stringify({ name })}`]: { ".": {}, "f:value": {} } } }
  }))

const object = (managedFields: unknown, ...names: ReadonlyArray<string>) => ({
  metadata: {
    annotations: { named: names.join(), like: '"managedFields":[{' },
    managedFields,
    name: "one",
    namespace: "n",
    ownerReferences: names.map((name) => ({ name })),
    resourceVersion: "7",
    uid: "u"
  },
  spec: { names: names.map((name) => ({ name, more: [{ name }] })) }
})

/** Names that are hard to tell from the text around them. */
const Name = Schema.Array(Schema.Literals(["}]", "]", "}", "{", ",", ":", '"', "\\", "a", '"managedFields":[{']))
  .check(Schema.isMaxLength(5))
  .pipe(Schema.Array)

const withoutManagers = (text: string): unknown =>
  JSON.parse(text, (key, value: unknown) => (key === "managedFields" ? undefined : value))

describe("The text of an object", () => {
  it.prop(
    "is read as JSON is, but for who manages its fields",
    { pieces: Name },
    ({ pieces }) => {
      const names = pieces.map((parts) => parts.join(""))
      const one = object(managed(...names), ...names)
      for (const value of [one, { items: [one, object([], ...names), one] }, { type: "ADDED", object: one }]) {
        const text = JSON.stringify(value)
        assert.deepStrictEqual(withoutManagers(JSON.stringify(parse(text))), withoutManagers(text))
      }
    },
    runs
  )

  it("has none of that left where nobody has strange names", () => {
    const read = parse(JSON.stringify(object(managed("kubectl", "kube-controller-manager"), "x"))) ?? {}
    assert.deepInclude(read["metadata"], { managedFields: [] })
    assert.notProperty(objectOf("Job", read)?.metadata, "managedFields")
  })

  it("that is cut off, or none, is not read", () => {
    const text = JSON.stringify(object(managed("kubectl")))
    for (const wrong of [text.slice(0, -1), text.slice(0, text.indexOf("FieldsV1")), "", "[]", "7"])
      assert.isUndefined(parse(wrong))
  })
})
