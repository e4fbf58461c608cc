/** What a command says that was not told enough, or too much. */
import { Schema } from "effect"

/** The command line does not say enough, or too much. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}
