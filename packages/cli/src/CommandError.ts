/**
 * How commands fail: with one line that says what happened and what to do next, and with an exit code.
 *
 * @since 0.1.0
 */
import type { AuthError, Reason } from "@effect-tenovos/core/AuthError"
import * as Data from "effect/Data"

/**
 * What a command's exit code means. One that was interrupted ends with 128 and the number of the signal.
 *
 * @category models
 * @since 0.1.0
 */
export const exitCodes = {
  /** It did what it should. */
  done: 0,
  /** The authority or the API refused, or something on this machine did not work. */
  refused: 1,
  /** The command can't be carried out as it was given. */
  usage: 2,
  /** Nobody is signed in, or the session is over. */
  noSession: 3,
  /** There was no usable answer. It may work later. */
  unreachable: 4
} as const

/**
 * Each way for a command to fail, by its name in {@link exitCodes}.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = Exclude<keyof typeof exitCodes, "done">

/**
 * What a command fails with: its `kind` decides the exit code.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommandError extends Data.TaggedError("CommandError")<{
  readonly kind: Kind
  /** What happened, and what to do next; without secrets. */
  readonly message: string
}> {}

/**
 * The failure of a command that can't be carried out as it was given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const usage = (message: string): CommandError => new CommandError({ kind: "usage", message })

/**
 * What an `AuthError` is to who runs a command.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromAuthError = (error: AuthError): CommandError =>
  new CommandError({ kind: kindOf(error.reason), message: oneLine(messageOf(error)) })

const kindOf = ({ _tag }: Reason): Kind => {
  switch (_tag) {
    case "BadRequest":
    case "Unauthorized":
    case "Forbidden":
    case "CredentialsRejected":
    case "ClockSkew":
    case "StoreFailure":
    case "NotReplayable":
      return "refused"
    case "SessionExpired":
      return "noSession"
    case "RateLimited":
    case "Unavailable":
    case "InvalidResponse":
      return "unreachable"
  }
}

const messageOf = ({ cause, message, reason }: AuthError): string => {
  switch (reason._tag) {
    case "SessionExpired":
      return "There is no session, or it is over. Run `tenovos login`."
    case "StoreFailure":
    case "Unavailable":
      return cause instanceof Error ? `${reason.message}: ${wordsOf(cause)}. ${reason.advice}` : message
    default:
      return message
  }
}

/** The system's own words, where it has said what is wrong: that a disk is full, or a folder not there. */
const wordsOf = (error: Error): string => {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ("syscall" in cause) return cause.message
  }
  return error.message
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ")
