import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { User } from "../Authority.ts"
import type { PublicKey } from "../Keys.ts"
import * as jose from "./jose.ts"

// What Cognito's tokens say, in the order in which it says it.

interface Session {
  /** Cognito's `origin_jti`: the same for all tokens of one sign-in. */
  readonly id: string
  /** When the user signed in, in seconds. A refresh doesn't move it. */
  readonly authTime: number
}

export const issuer = (userPoolId: string): string => {
  const region = userPoolId.slice(0, userPoolId.lastIndexOf("_"))
  return `https://cognito-idp.${region}.amazonaws.com/${userPoolId}`
}

export const claims = (options: {
  readonly session: Session
  readonly user: User
  readonly issuer: string
  readonly clientId: string
  readonly eventId: string
  readonly jti: string
  readonly iat: number
  readonly exp: number
}) => ({
  id: {
    sub: options.user.sub,
    aud: options.clientId,
    email_verified: options.user.email !== null,
    event_id: options.eventId,
    token_use: "id",
    auth_time: options.session.authTime,
    iss: options.issuer,
    "cognito:username": options.user.username,
    exp: options.exp,
    iat: options.iat,
    ...(options.user.email === null ? {} : { email: options.user.email }),
    origin_jti: options.session.id
  },
  access: {
    sub: options.user.sub,
    event_id: options.eventId,
    token_use: "access",
    scope: "aws.cognito.signin.user.admin",
    auth_time: options.session.authTime,
    iss: options.issuer,
    exp: options.exp,
    iat: options.iat,
    jti: options.jti,
    client_id: options.clientId,
    username: options.user.username,
    origin_jti: options.session.id
  }
})

export const refreshClaims = (options: {
  readonly session: Session
  readonly sub: string
  readonly issuer: string
  readonly clientId: string
  readonly iat: number
  readonly exp: number
}) => ({
  sub: options.sub,
  token_use: "refresh",
  auth_time: options.session.authTime,
  iss: options.issuer,
  exp: options.exp,
  iat: options.iat,
  client_id: options.clientId,
  origin_jti: options.session.id
})

const reader = <Use extends "access" | "id">(use: Use) => {
  const decode = Schema.decodeUnknownOption(Schema.Struct({
    token_use: Schema.Literal(use),
    iss: Schema.String,
    exp: Schema.Finite,
    event_id: Schema.String,
    username: Schema.optionalKey(Schema.String),
    origin_jti: Schema.String
  }))
  return (
    find: (kind: "access" | "id", kid: string) => Effect.Effect<Option.Option<PublicKey>>,
    issuer: string,
    token: string
  ) =>
    Effect.map(
      jose.verify((kid) => find(use, kid), token),
      (claims) => claims.pipe(Option.flatMap(decode), Option.filter((claims) => claims.iss === issuer))
    )
}

/** The claims of an access token that this installation signed, whatever its age. */
export const readAccess = reader("access")

/** The claims of an id token that this installation signed, whatever its age. */
export const readId = reader("id")
