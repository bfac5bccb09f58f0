package shared

import (
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// permissionError returns the permission violation that the server has reported since
// before, the last error of nc, for a subject that begins with prefix. It waits for at
// most 1 s until the server has processed what was published.
func permissionError(nc *nats.Conn, before error, prefix string) error {
	if nc.IsConnected() {
		_ = nc.FlushTimeout(time.Second) // if it fails, there may be a violation all the same
	}
	err := nc.LastError()
	if err == before || !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+prefix) {
		return nil
	}
	return err
}
