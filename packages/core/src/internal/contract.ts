import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

// The messages of the contract, apart from the operations: a program that only keeps a session needs these, and not
// the whole of `effect/http-api`.

/** A string that prints as `<redacted>`; plain on the wire. */
const secret = (description: string) => Schema.RedactedFromValue(Schema.String.annotate({ description }))

/** Nothing in an answer is declared required: what can't be read counts as missing. */
export const lenient = <S extends Schema.Top>(schema: S) =>
  Schema.catchDecoding<Schema.optionalKey<S>>(() => Effect.succeedNone)(Schema.optionalKey(schema))

/** A number. As a string it is understood too. */
const Epoch = Schema.Union([Schema.Finite, Schema.FiniteFromString])

const RefreshToken = secret("Opaque. Gets new access tokens for up to 30 days.")

const AccessToken = secret("A JWT, the AccessToken header of later calls. Lives for one hour.")

export const SignInRequest = Schema.Struct({
  username: Schema.String.annotate({ description: "Username of the user in Tenovos." }),
  password: secret("Password of the user."),
  clientId: Schema.optionalKey(Schema.String.annotate({ description: "Needed before version 1.5, ignored since." })),
  userPoolId: Schema.optionalKey(Schema.String.annotate({ description: "Needed before version 1.5, ignored since." }))
}).annotate({ identifier: "SignInRequest", description: "Asks for a new session." })

export const RefreshRequest = Schema.Struct({
  session: Schema.Struct({ refreshToken: RefreshToken, accessToken: AccessToken })
}).annotate({ identifier: "RefreshRequest", description: "Asks for a new access token." })

export const Authentication = Schema.Struct({
  endpointUrl: lenient(Schema.String.annotate({ description: "Base URL of every later operation." })),
  clientId: lenient(Schema.String),
  userPoolId: lenient(Schema.String),
  username: lenient(Schema.String),
  password: lenient(secret("Empty.")),
  session: Schema.Struct({
    authorization: lenient(secret("The id token, a JWT: the Authorization header of later calls.")),
    refreshToken: lenient(RefreshToken),
    accessToken: AccessToken,
    expireEpoch: lenient(Epoch)
  })
}).annotate({ identifier: "Authentication", description: "A session, as it is answered." })

export type Authentication = typeof Authentication.Type

export const ExpireRequest = Schema.Struct({
  endpointUrl: Schema.String,
  clientId: Schema.String,
  userPoolId: Schema.String,
  username: Schema.String,
  password: Schema.optionalKey(secret("Ignored.")),
  session: Schema.Struct({
    authorization: secret("The id token."),
    refreshToken: RefreshToken,
    accessToken: AccessToken,
    expireEpoch: lenient(Epoch)
  })
}).annotate({ identifier: "ExpireRequest", description: "The session to end." })
