import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import { currentIdentity, type Given } from "../../../src/layers/kubernetes/Kubeconfig.ts"

// as kind writes it, with a second context
const kind = `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: kind-payments
- cluster:
    certificate-authority: pki/ca.crt
    server: https://kubernetes.example.com/k8s/clusters/c-1
    tls-server-name: kubernetes
  name: other
contexts:
- context:
    cluster: kind-payments
    user: kind-payments
  name: kind-payments
- context: {cluster: other, user: other, namespace: x}
  name: other
current-context: kind-payments
kind: Config
preferences: {}
users:
- name: kind-payments
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
- name: other
  user:
    tokenFile: ../token
- name: cloud
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: aws
      args: [eks, get-token]
`

const at = (path: string, contents: string) => ({ path, contents })
const found = (...files: ReadonlyArray<{ path: string; contents: string }>) => Result.getOrThrow(currentIdentity(files))
const problem = (contents: string) => Result.merge(currentIdentity([at("/x/config", contents)]))
const text = (given: Given | undefined) => (given?._tag === "Value" ? Redacted.value(given.value) : given?.path)

describe("kubectl's configuration", () => {
  it("names the cluster and the user of its current context", () => {
    const identity = found(at("/home/a/.kube/config", kind))
    assert.strictEqual(identity.server.host, "127.0.0.1:6443")
    assert.deepStrictEqual([identity.authority, identity.certificate, identity.key].map(text), ["CA", "CERT", "KEY"])
    assert.isUndefined(identity.token)
    assert.isFalse(identity.trustsAnybody)
  })

  it("has paths that are relative to its own folder", () => {
    const identity = found(
      at("/home/a/.kube/config", kind.replace("current-context: kind-payments", "current-context: other"))
    )
    assert.deepStrictEqual([identity.authority, identity.token].map(text), [
      "/home/a/.kube/pki/ca.crt",
      "/home/a/token"
    ])
    assert.strictEqual(identity.serverName, "kubernetes")
    assert.strictEqual(identity.server.pathname, "/k8s/clusters/c-1")
  })

  it("may be spread over several files, of which the first that says something wins", () => {
    const identity = found(at("/x/one", "current-context: other\n"), at("/y/z/two", kind))
    assert.strictEqual(text(identity.token), "/y/token")
  })

  it("is told what is wrong with it", () => {
    assert.strictEqual(problem("a: b: c"), "it is not YAML")
    assert.strictEqual(problem("users: 5"), "it is not a kubeconfig")
    assert.strictEqual(problem("{}"), "it has no current-context")
    assert.strictEqual(problem("current-context: x"), 'it has no context "x"')
    assert.match(String(problem(kind.replace("user: kind-payments", "user: cloud"))), /user cloud logs in by exec/)
    assert.match(String(problem(kind.replace("https://127.0.0.1:6443", "http://127.0.0.1:6443"))), /not an https/)
  })
})
