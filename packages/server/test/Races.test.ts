import { Sqlite } from "@effect-tenovos/server"
import { races } from "./support/races.ts"

races("SQLite", Sqlite.layer({ filename: ":memory:" }))
