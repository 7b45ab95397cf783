/**
 * oidc-provider with what it needs for the refresh of one session: two tokens signed with RS256, and the refresh token
 * kept, as with us. Started with that refresh token.
 */
import { generateKeyPairSync } from "node:crypto"
import Provider from "oidc-provider"

const [refreshToken = ""] = process.argv.slice(2)
const resource = "urn:bench"

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
const provider = new Provider("http://127.0.0.1", {
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kty: "RSA", alg: "RS256", use: "sig" }] },
  clients: [{
    client_id: "client",
    client_secret: "secret",
    token_endpoint_auth_method: "client_secret_post",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["http://127.0.0.1/"]
  }],
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  rotateRefreshToken: false,
  features: {
    devInteractions: { enabled: false },
    // Without a resource its access tokens are random text.
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "read",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 3600,
        jwt: { sign: { alg: "RS256" } }
      })
    }
  }
})

const grant = new provider.Grant({ accountId: "ada", clientId: "client" })
grant.addOIDCScope("openid offline_access")
grant.addResourceScope(resource, "read")
const client = await provider.Client.find("client")
if (client === undefined) throw new Error("There is a client")
await new provider.RefreshToken({
  client,
  accountId: "ada",
  grantId: await grant.save(),
  gty: "authorization_code",
  jti: refreshToken,
  resource,
  scope: "openid offline_access read"
}).save()

const server = provider.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address === "object") {
    process.stdout.write(`listening on http://127.0.0.1:${address.port}\n`)
  }
})
