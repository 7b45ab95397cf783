import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

// The messages of the contract, apart from the operations: a program that only keeps a session needs these, and not
// the whole of `effect/http-api`.

/** A string that prints as `<redacted>`; plain on the wire. */
const secret = (label: string, description: string) =>
  Schema.RedactedFromValue(Schema.String.annotate({ description }), { label })

/** Nothing in an answer is declared required: what can't be read counts as missing. */
export const lenient = <S extends Schema.Top>(schema: S) =>
  Schema.catchDecoding<Schema.optionalKey<S>>(() => Effect.succeed(Option.none()))(Schema.optionalKey(schema))

/** A number. As a string it is understood too. */
const Epoch = Schema.Union([Schema.Finite, Schema.FiniteFromString])

const RefreshToken = secret("refreshToken", "Opaque. Gets new access tokens for up to 30 days.")

const AccessToken = secret("accessToken", "A JWT, the AccessToken header of later calls. Lives for one hour.")

export const SignInRequest = Schema.Struct({
  username: Schema.String.annotate({ description: "Username of the user in Tenovos." }),
  password: secret("password", "Password of the user."),
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
  password: lenient(secret("password", "Empty.")),
  session: Schema.Struct({
    authorization: lenient(secret("idToken", "The id token, a JWT: the Authorization header of later calls.")),
    refreshToken: lenient(RefreshToken),
    accessToken: AccessToken,
    expireEpoch: lenient(Epoch)
  })
}).annotate({ identifier: "Authentication", description: "A session, as it is answered." })

export type Authentication = typeof Authentication.Type
