import { assert, describe, it } from "@effect/vitest"
import { tlsFailure } from "../../src/domain/TlsFailure.ts"

describe("An error of a connection", () => {
  for (const [code, why] of [
    ["SELF_SIGNED_CERT_IN_CHAIN", "by nobody who is trusted"],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "by nobody who is trusted"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "by nobody who is trusted"],
    ["CERT_HAS_EXPIRED", "not valid now"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "for another host"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "does not speak TLS"],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", "a certificate of ours"],
    ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "a certificate of ours"],
    ["ERR_OSSL_PEM_BAD_BASE64_DECODE", "cannot be read"],
    ["ERR_BORINGSSL", "cannot be read"],
    ["ERR_SSL_NO_SHARED_CIPHER", "does not agree on TLS"]
  ] as const) {
    it(`is of TLS, and says why: ${code}`, () => {
      assert.include(tlsFailure(code), why)
      assert.include(tlsFailure(code), code)
    })
  }

  for (const code of [undefined, "ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "57P03", "28000", "UNKNOWN"]) {
    it(`is none of TLS: ${code}`, () => assert.isUndefined(tlsFailure(code)))
  }
})
