import { describe, it } from "@effect/vitest"
import { holds } from "./support/programs.ts"

describe("What must always hold, in random programs", () => {
  it("all rules, together", () => holds({ rules: [], runs: 200 }))
})
