import { beforeEach } from "vitest"
import { missing } from "./postgres.ts"

beforeEach(({ skip }) => skip(missing))
