import { Database } from "@effect-tenovos/server"
import { kind, onFresh } from "./support/databases.ts"
import { races } from "./support/races.ts"

races(kind, onFresh(Database.layer))
