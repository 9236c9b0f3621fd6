import { render } from "preact";
import { Page } from "./page.tsx";
import { start } from "./store.ts";

const root = document.getElementById("page");
if (root) render(<Page />, root);
start();
