import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"

export class ServeFailed extends Data.TaggedError("ServeFailed")<{ readonly message: string }> {
  override get [CliError.userMessage](): string {
    return this.message
  }
}
