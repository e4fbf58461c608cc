/** An id that somebody outside has given: in addresses, message keys and logs, so only what is safe in all of them. */
import { Schema } from "effect"

/** What is paid, or a transaction, as who asks calls it. */
export const OutsideId = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$/, {
    message: "1 to 100 letters, digits and . _ : -, beginning with a letter or a digit"
  })
)
