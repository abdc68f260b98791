# Builds one static binary and puts nothing beside it but CA certificates.
# It runs as user 65532 and keeps its store in /data: mount a volume there that
# this user may write to, and a configuration at /etc/sealgate/sealgate.yaml.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY inbox/mls/x448 inbox/mls/x448
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/sealgate ./cmd/sealgate \
 && mkdir -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/sealgate /sealgate
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
VOLUME /data
WORKDIR /
EXPOSE 8420
ENTRYPOINT ["/sealgate"]
CMD ["serve"]
