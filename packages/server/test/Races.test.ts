import { races } from "./support/races.ts"

races()
