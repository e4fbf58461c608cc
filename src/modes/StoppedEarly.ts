/** What a mode that ends by itself says when it had to end before. */
import { Schema } from "effect"

/** A run of a known length was asked to stop before its end. */
export class StoppedEarly extends Schema.TaggedError<StoppedEarly>()("StoppedEarly", { detail: Schema.String }) {
  override get message(): string {
    return `stopped ${this.detail}`
  }
}
