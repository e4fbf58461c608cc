/** Message ids as a log shows them. */

const control = /[\p{Cc}\p{Zl}\p{Zp}]/u
// JSON leaves some of them as they are.
const leftByJson = /[\p{Cc}\p{Zl}\p{Zp}]/gu

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/** The id as it is; quoted where it has control characters, with which it could forge lines of a log. */
export const shownId = (id: string | undefined): string => {
  if (id === undefined) return "(none)"
  return control.test(id) ? JSON.stringify(id).replace(leftByJson, escaped) : id
}
