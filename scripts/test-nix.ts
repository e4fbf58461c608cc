/**
 * `npm run test:nix`: parses flake.nix and evaluates it with stubbed inputs, since the real ones cannot be fetched
 * everywhere, and runs its shell hook. Needs `nix-instantiate`: on the PATH, or as root on Debian from its packages.
 */

import { strict as assert } from "node:assert"
import { spawnSync } from "node:child_process"

/** Told apart from a failure: this machine has no Nix and no way to get it. */
const cannotHere = 2

const run = (command: string, args: ReadonlyArray<string>) => spawnSync(command, args, { encoding: "utf8" })

const hasNix = () => run("nix-instantiate", ["--version"]).status === 0

const installNix = () => {
  if (process.getuid?.() !== 0 || run("apt-get", ["--version"]).status !== 0) return
  console.log("installing nix-bin …")
  run("apt-get", ["update", "-qq"])
  run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "nix-bin"])
}

/** A nixpkgs in which each package is its own name, and a shell is what it was made of. */
const stubbed = `
let
  packages = { bun = "bun"; nodejs_24 = "node"; postgresql_18 = "postgresql"; rabbitmq-server = "rabbitmq"; redis = "redis"; jdk_headless = "java"; maven = "maven"; openssl = "openssl"; go = "go"; mkShell = shell: shell; };
  genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
  nixpkgs = { lib = { inherit genAttrs; }; legacyPackages = genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] (_: packages); };
in (import ./flake.nix).outputs { self = { }; inherit nixpkgs; }
`

// In a store of its own: evaluating writes nothing, but looks for the store's folder.
const evaluate = (expression: string) =>
  run("nix-instantiate", ["--eval", "--strict", "--json", "--store", "dummy://", "--expr", expression])

const must = (
  what: string,
  result: { readonly status: number | null; readonly stdout: string; readonly stderr: string }
) => {
  assert.equal(result.status, 0, `${what} failed:\n${result.stderr}`)
  console.log(`ok ${what}`)
  return result.stdout
}

if (!hasNix()) installNix()
if (!hasNix()) {
  console.error("nix-instantiate is missing: install Nix (https://nixos.org/download), or nix-bin from Debian")
  process.exit(cannotHere)
}

must("flake.nix parses", run("nix-instantiate", ["--parse", "flake.nix"]))
const outputs = JSON.parse(must("flake.nix evaluates with stubbed inputs", evaluate(stubbed)))
for (const [system, shells] of Object.entries<{ default: { packages: ReadonlyArray<string>; shellHook: string } }>(
  outputs.devShells
)) {
  const packages = ["bun", "node", "postgresql", "rabbitmq", "redis", "java", "maven", "openssl", "go"]
  assert.deepEqual(shells.default.packages, packages, system)
  const lines = must(`the shell of ${system} starts`, run("bash", ["-euc", shells.default.shellHook]))
    .trim()
    .split("\n")
  assert.equal(lines.length, 1, "the shell says one line")
}
