import { findBinaries, start } from "./postgresServer.ts"

// A PostgreSQL for who can't import the tests: its URL is the only line of the standard output, which has none where there
// is no PostgreSQL. It ends with the standard input.

const binaries = findBinaries()
if (binaries !== undefined) {
  const server = await start(binaries, [])
  process.stdin.once("end", () => void server.stop()).resume()
  process.stdout.write(`${server.url}\n`)
}
