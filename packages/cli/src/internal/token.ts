import type { Session } from "@effect-tenovos/core/Session"
import * as DateTime from "effect/DateTime"
import * as Redacted from "effect/Redacted"

/** What `tenovos token` prints of a session. */
export const toText = (
  session: Session,
  apiKey: Redacted.Redacted,
  { header, json }: { readonly header: boolean; readonly json: boolean }
): string => {
  const accessToken = Redacted.value(session.accessToken)
  const headers = {
    "X-API-Key": Redacted.value(apiKey),
    AccessToken: accessToken,
    ...(session.idToken === undefined ? {} : { Authorization: Redacted.value(session.idToken) })
  }
  if (json) {
    const { endpointUrl, expiresAt } = session
    return JSON.stringify({ endpointUrl, expiresAt: DateTime.formatIso(expiresAt), headers })
  }
  return header ? Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join("\n") : accessToken
}
