// A vitest reporter whose line is the last of the run: "N passed, N failed", and ", N skipped" when there are any.
import type { Reporter, TestModule } from "vitest/node"

export default class ClosingLine implements Reporter {
  #line = "0 passed, 0 failed"

  onInit(): void {
    process.once("exit", () => console.log(this.#line))
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandledErrors: ReadonlyArray<unknown>): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state]++
      // A file or a suite that breaks outside its tests is a failure too.
      for (const suite of [module, ...module.children.allSuites()]) if (suite.errors().length > 0) count.failed++
    }
    const skipped = count.skipped + count.pending
    this.#line = `${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`
  }
}
