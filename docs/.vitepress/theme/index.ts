// The default theme, with diagrams. What draws them is loaded by the pages that have one.
import drawing from "@mermaid-js/tiny/dist/mermaid.tiny.js?url"
import { useRoute } from "vitepress"
import DefaultTheme from "vitepress/theme"
import { nextTick, onMounted, watch } from "vue"
import "./style.css"

interface Mermaid {
  readonly initialize: (options: object) => void
  readonly run: (options: { readonly nodes: ReadonlyArray<Element> }) => Promise<void>
}

let loaded: Promise<Mermaid> | undefined

const load = (): Promise<Mermaid> =>
  loaded ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = drawing
    script.addEventListener("error", reject)
    script.addEventListener("load", () => {
      // The script leaves nothing but a global behind.
      const mermaid: Mermaid = Reflect.get(globalThis, "mermaid")
      const isDark = document.documentElement.classList.contains("dark")
      mermaid.initialize({
        startOnLoad: false,
        theme: isDark ? "dark" : "neutral",
        // Five names side by side in the width of a page, in letters that can be read.
        sequence: {
          mirrorActors: false,
          wrap: true,
          width: 130,
          actorMargin: 15,
          diagramMarginX: 0,
          actorFontSize: 14,
          messageFontSize: 13
        }
      })
      resolve(mermaid)
    })
    document.head.append(script)
  })

const draw = async () => {
  const nodes = [...document.querySelectorAll("pre.mermaid:not([data-processed])")]
  if (nodes.length > 0) await (await load()).run({ nodes })
}

export default {
  extends: DefaultTheme,
  setup: () => {
    const route = useRoute()
    onMounted(draw)
    watch(() => route.path, () => nextTick(draw))
  }
}
