/**
 * The floor under an authority: a bare server that does the cryptography and one durable write, and nothing else. It
 * validates, limits and records nothing.
 *
 * Started with the file of its database, and JSON with the hash of each user's password.
 */
import * as argon2 from "@node-rs/argon2"
import {
  constants,
  createCipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  publicEncrypt,
  randomBytes,
  randomUUID,
  sign,
  verify
} from "node:crypto"
import { createServer } from "node:http"
import { DatabaseSync } from "node:sqlite"

const [filename = "", users = "{}"] = process.argv.slice(2)
const passwordHashes: Readonly<Record<string, string>> = JSON.parse(users)

const database = new DatabaseSync(filename)
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, pem TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS sessions (hash TEXT PRIMARY KEY, id TEXT NOT NULL, refreshed_at INTEGER) WITHOUT ROWID;
`)

const privateKey = (name: string): KeyObject => {
  const pem = database.prepare("SELECT pem FROM keys WHERE name = ?").get(name)?.["pem"]
  if (typeof pem === "string") return createPrivateKey(pem)
  const made = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey
  database.prepare("INSERT INTO keys VALUES (?, ?)").run(name, made.export({ type: "pkcs8", format: "pem" }).toString())
  return made
}
const idKey = privateKey("id")
const accessKey = privateKey("access")
const accessPublicKey = createPublicKey(accessKey)
const refreshPublicKey = createPublicKey(privateKey("refresh"))
const insert = database.prepare("INSERT INTO sessions VALUES (?, ?, ?)")
const touch = database.prepare("UPDATE sessions SET refreshed_at = ? WHERE hash = ? RETURNING id")

const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
const hashOf = (token: string) => createHash("sha256").update(token).digest("hex")

const header = encode({ kid: randomBytes(32).toString("base64"), alg: "RS256" })
const jwt = (key: KeyObject, claims: object) => {
  const input = `${header}.${encode(claims)}`
  return new Promise<string>((resolve, reject) =>
    sign(
      "RSA-SHA256",
      Buffer.from(input),
      key,
      (error, signature) => error === null ? resolve(`${input}.${signature.toString("base64url")}`) : reject(error)
    )
  )
}

const isSigned = (token: string) => {
  const end = token.lastIndexOf(".")
  return verify(
    "RSA-SHA256",
    Buffer.from(token.slice(0, end)),
    accessPublicKey,
    Buffer.from(token.slice(end + 1), "base64url")
  )
}

const jweHeader = encode({ cty: "JWT", enc: "A256GCM", alg: "RSA-OAEP" })
const jwe = (claims: object) => {
  const key = randomBytes(32)
  const nonce = randomBytes(12)
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(jweHeader))
  const ciphertext = Buffer.concat([cipher.update(JSON.stringify(claims)), cipher.final()])
  const wrapped = publicEncrypt({ key: refreshPublicKey, padding: constants.RSA_PKCS1_OAEP_PADDING }, key)
  return [jweHeader, ...[wrapped, nonce, ciphertext, cipher.getAuthTag()].map((part) => part.toString("base64url"))]
    .join(".")
}

const answer = async (id: string, refreshToken: string) => {
  const iat = Math.floor(Date.now() / 1000)
  const claims = {
    sub: "8c1f0a52-9f0e-4b1c-8d5e-2f6a7b9c0d1e",
    event_id: randomUUID(),
    auth_time: iat,
    iss: "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_abcdefghi",
    exp: iat + 3600,
    iat,
    jti: randomUUID(),
    origin_jti: id,
    username: "ada"
  }
  const [authorization, accessToken] = await Promise.all([
    jwt(idKey, { ...claims, token_use: "id" }),
    jwt(accessKey, { ...claims, token_use: "access" })
  ])
  return { session: { authorization, refreshToken, accessToken, expireEpoch: (iat + 3600) * 1000 } }
}

interface Body {
  readonly username?: string
  readonly password?: string
  readonly session?: { readonly refreshToken: string; readonly accessToken: string }
}

const respond = async ({ password = "", session, username = "" }: Body) => {
  if (session !== undefined) {
    const id = isSigned(session.accessToken) ? touch.get(Date.now(), hashOf(session.refreshToken))?.["id"] : undefined
    return typeof id === "string" ? answer(id, session.refreshToken) : undefined
  }
  if (!await argon2.verify(passwordHashes[username] ?? "", password)) return undefined
  const id = randomUUID()
  const refreshToken = jwe({ sub: "8c1f0a52-9f0e-4b1c-8d5e-2f6a7b9c0d1e", token_use: "refresh", origin_jti: id })
  insert.run(hashOf(refreshToken), id, null)
  return answer(id, refreshToken)
}

const server = createServer((request, response) => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk) => chunks.push(chunk)).on("end", async () => {
    const body = await respond(JSON.parse(Buffer.concat(chunks).toString()))
    const text = JSON.stringify(body ?? { message: "Unauthorized" })
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) }
    response.writeHead(body === undefined ? 401 : 200, headers).end(text)
  })
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address === "object") {
    process.stdout.write(`listening on http://127.0.0.1:${address.port}\n`)
  }
})
