/** Loaded before a server's own code: tells the process that started it what it has used, as often as that asks. */
process.on("message", () => {
  const { system, user } = process.cpuUsage()
  process.send?.({ cpu: (user + system) / 1000, memory: process.memoryUsage.rss() / 2 ** 20 })
})
process.on("disconnect", () => process.exit())
process.channel?.unref()
