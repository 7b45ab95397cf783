import type { TestProject } from "vitest/node"
import { findBinaries, start } from "./postgresServer.ts"

// The PostgreSQL of the tests, started once for all of them: that of TENOVOS_TEST_POSTGRES, or a new one that needn't
// survive the machine.

declare module "vitest" {
  interface ProvidedContext {
    /** The URL of a PostgreSQL whose user may make schemas. */
    readonly postgres: string
  }
}

const given = process.env["TENOVOS_TEST_POSTGRES"]

const binaries = given === undefined ? findBinaries() : undefined

/** Why there is none, if so. */
export const missing = given === undefined && binaries === undefined
  ? "no PostgreSQL here: give the URL of one in TENOVOS_TEST_POSTGRES"
  : undefined

export default async function setup(project: TestProject) {
  if (given !== undefined) return project.provide("postgres", given)
  if (binaries === undefined) {
    if (process.env["CI"] !== undefined) throw new Error(missing)
    return
  }
  const server = await start(binaries, ["fsync=off", "full_page_writes=off", "max_connections=200"])
  project.provide("postgres", server.url)
  return server.stop
}
