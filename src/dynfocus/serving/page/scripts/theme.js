// Light, dark, or as the system has it.

import { icon } from "./dom.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const NAMES = { system: "Auto", light: "Light", dark: "Dark" };

/** Let a button go through the themes, and keep the choice. */
export function startTheme(button) {
  let theme = localStorage.getItem("dynfocus-theme") ?? "system";
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon("theme"), NAMES[theme]);
    button.setAttribute("aria-label", `Theme: ${NAMES[theme]}. Change`);
  };
  button.addEventListener("click", () => {
    theme = NEXT[theme] ?? "system";
    localStorage.setItem("dynfocus-theme", theme);
    show();
  });
  show();
}
