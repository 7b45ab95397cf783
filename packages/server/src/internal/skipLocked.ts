import type { SqlClient } from "effect/sql/SqlClient"

/** In the sub-select of a `DELETE`: other processes delete too, and nobody waits for what another one has begun to delete. */
export const skipLocked = (sql: SqlClient) =>
  sql.onDialectOrElse({
    pg: () => sql.literal("FOR UPDATE SKIP LOCKED"),
    orElse: () => sql.literal("")
  })
