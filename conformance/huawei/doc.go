// Package huawei runs the vendor's own Go SDK, unmodified, against a running
// strongroom. It is a module of its own so that the SDK's dependencies stay
// out of ours.
//
// Its tests take the endpoints, the access key and the CA that `strongroom
// dev` writes into env.sh, by the names that the SDK itself reads:
//
//	bin/strongroom dev --dir /tmp/room &
//	STRONGROOM_ENV=/tmp/room/env.sh go test ./...
//
// There is nothing to skip to: without STRONGROOM_ENV they fail.
package huawei
