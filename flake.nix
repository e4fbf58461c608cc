{
  description = "Paystream: payments between message brokers, databases and Kubernetes";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      eachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      # The runtimes and the servers of the tests on the PATH; of Kafka, the control plane of Kubernetes and stripe-mock, in
      # the versions that the tests pin, what fetches or builds them.
      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.bun
            pkgs.nodejs_24
            pkgs.postgresql_18
            pkgs.rabbitmq-server
            pkgs.redis
            # Kafka, and certificates for it
            pkgs.jdk_headless
            pkgs.maven
            pkgs.openssl
            # builds the control plane of the tests, once
            pkgs.go
          ];
          shellHook = ''
            echo "paystream: bun $(bun --version), node $(node --version); npm start | npm test | bun run main --mode=worker"
          '';
        };
      });
    };
}
