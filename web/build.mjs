// Builds the page into the Python package: one script, one stylesheet, names that say what is in them, compressed ahead.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "src", "everbrook", "page");
const LIMIT_BYTES = 400_000; // of everything, as it is sent

const built = await esbuild.build({
  entryPoints: [join(here, "src", "main.tsx")],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
  outdir: out,
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  loader: { ".svg": "dataurl" },
});

mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) rmSync(join(out, name), { recursive: true });

let sent = 0;
function put(name, bytes) {
  const packed = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  writeFileSync(join(out, name), bytes);
  writeFileSync(join(out, `${name}.br`), packed);
  writeFileSync(join(out, `${name}.gz`), gzipSync(bytes, { level: 9 }));
  sent += packed.length;
}

const names = {};
for (const file of built.outputFiles) {
  const ending = file.path.split(".").pop();
  const hash = createHash("sha256").update(file.contents).digest("hex").slice(0, 10);
  names[ending] = `everbrook-${hash}.${ending}`;
  put(names[ending], Buffer.from(file.contents));
}
const licences = ["preact", "@preact/signals", "@preact/signals-core", "uplot"].map((name) => {
  const folder = join(here, "node_modules", name);
  const own = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  return `${name}\n\n${own ? readFileSync(join(folder, own), "utf8") : ""}`;
});
put("licences.txt", Buffer.from(licences.join("\n----\n\n")));
const page = readFileSync(join(here, "src", "index.html"), "utf8")
  .replace("SCRIPT", `/page/${names.js}`)
  .replace("STYLE", `/page/${names.css}`);
put("index.html", Buffer.from(page));
if (sent > LIMIT_BYTES) throw new Error(`The page must take at most ${LIMIT_BYTES} bytes; it takes ${sent}.`);
console.error(`The page was built: ${sent} bytes as sent (brotli), in ${out}.`);
