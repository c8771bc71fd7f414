# The operator and its agent on an empty base: two static programs, certificates, an account without rights.
# The test of the local cluster's image builder (e2e) compares the last stage with what it packs itself.
#
#   docker build -t paperclip-operator .
#
# Build for another platform with `docker buildx build --platform linux/arm64`: the build stage runs on that platform.
ARG RUST_VERSION=1.89

FROM rust:${RUST_VERSION}-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
COPY . .
# crt-static needs an explicit --target, else build scripts and macros are built with it too. glibc looks up names by files and DNS by
# itself, without libraries that are loaded at run time.
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo" \
    CARGO_INCREMENTAL=0
# The last lines: a program that still needs a library would not start on an empty base.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    target="$(rustc -vV | sed -n 's/^host: //p')" \
    && cargo build --locked --release --target "$target" -p paperclip-operator -p paperclip-agent \
    && mkdir /out \
    && cp "target/$target/release/paperclip-operator" "target/$target/release/paperclip-agent" /out/ \
    && printf 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' > /out/passwd \
    && printf 'nonroot:x:65532:\n' > /out/group \
    && ! ldd /out/paperclip-operator | grep '=>' \
    && ! ldd /out/paperclip-agent | grep '=>' \
    && /out/paperclip-operator version

FROM scratch
LABEL org.opencontainers.image.title="paperclip-operator" \
      org.opencontainers.image.description="Kubernetes operator for Paperclip, the AI agent orchestration server" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/passwd /etc/passwd
COPY --from=build /out/group /etc/group
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/paperclip-operator /usr/local/bin/paperclip-operator
COPY --from=build /out/paperclip-agent /usr/local/bin/paperclip-agent
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/paperclip-operator"]
CMD ["run"]
