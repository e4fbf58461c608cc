/** Why a TLS connection does not come about, by the code that both runtimes give: none of it passes with time. */

const reasons: ReadonlyArray<readonly [code: RegExp, why: string]> = [
  [/^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/, "its certificate is for another host"],
  [/^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/, "its certificate is not valid now"],
  [/^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_CA|CA_)/, "its certificate is by nobody who is trusted here"],
  [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/, "it does not speak TLS at this port"],
  [/^ERR_SSL_.*_ALERT_(.*CERTIFICATE|UNKNOWN_CA)/, "it wants a certificate of ours, or another one"],
  [/^(ERR_OSSL_|ERR_BORINGSSL)/, "our own certificates cannot be read"],
  [/^ERR_(SSL|TLS)_/, "it does not agree on TLS"]
]

/** In words; `undefined` for a code that is not of TLS. */
export const tlsFailure = (code: string | undefined): string | undefined => {
  const why = reasons.find(([pattern]) => code !== undefined && pattern.test(code))?.[1]
  return why === undefined ? undefined : `${why} (${code})`
}
