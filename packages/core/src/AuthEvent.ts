/**
 * What happened to a session, and why.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as DateTime from "effect/DateTime"
import type { AuthError } from "./AuthError.ts"
import type { Session } from "./Session.ts"

/**
 * What a sign-out achieved.
 *
 * - `Expired`: the authority has ended the session.
 * - `Forgotten`: the session is forgotten here, but that it has ended everywhere is not sure; `error` says why.
 * - `NoSession`: there was none.
 *
 * @category models
 * @since 0.1.0
 */
export type SignOut = Data.TaggedEnum<{
  Expired: {}
  Forgotten: { readonly error: AuthError }
  NoSession: {}
}>

/**
 * @category constructors
 * @since 0.1.0
 */
export const SignOut: Data.TaggedEnum.Constructor<SignOut> = Data.taggedEnum<SignOut>()

/**
 * - `SignedIn`: the credentials were given, for a new session.
 * - `Refreshed`: the refresh token was used, for a new access token.
 * - `Adopted`: a newer session was found in the store.
 * - `RefreshFailed`: an attempt to renew has failed. It may be tried again; `attempt` counts from 1.
 * - `CredentialsRejected`: the credentials were refused, and are not sent again.
 * - `Invalidated`: the API refused the access token before its end.
 * - `StoreFailed`: the session could not be read or stored. It is served from memory, and stored once that is possible.
 * - `RefreshTokenExpiring`: the refresh token ends within three days; then the credentials are needed.
 * - `SignedOut`: the session was ended, here. Where somebody who shares the store has ended it, the state alone tells.
 *
 * @category models
 * @since 0.1.0
 */
export type AuthEvent = Data.TaggedEnum<{
  SignedIn: { readonly session: Session }
  Refreshed: { readonly session: Session }
  Adopted: { readonly session: Session }
  RefreshFailed: { readonly error: AuthError; readonly attempt: number }
  CredentialsRejected: { readonly error: AuthError }
  Invalidated: { readonly session: Session }
  StoreFailed: { readonly error: AuthError }
  RefreshTokenExpiring: { readonly expiresAt: DateTime.Utc }
  SignedOut: { readonly outcome: SignOut }
}>

/**
 * @category constructors
 * @since 0.1.0
 */
export const AuthEvent: Data.TaggedEnum.Constructor<AuthEvent> = Data.taggedEnum<AuthEvent>()
