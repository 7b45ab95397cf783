import * as CliError from "effect/cli/CliError"
import * as Data from "effect/Data"

/**
 * The authority could not start.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServeFailed extends Data.TaggedError("ServeFailed")<{ readonly message: string }> {
  override get [CliError.userMessage](): string {
    return this.message
  }
}
