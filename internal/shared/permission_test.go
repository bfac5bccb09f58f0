package shared

import (
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/server"
)

// Only a violation since before, and of the subject, is returned.
func TestPermissionError(t *testing.T) {
	deny := &natsserver.Permissions{Publish: &natsserver.SubjectPermission{Deny: []string{"jobs.*"}}}
	srv, err := server.New(natsserver.Options{DontListen: true, Users: []*natsserver.User{{Username: "shop", Password: "shop", Permissions: deny}}})
	require.NoError(t, err)
	defer srv.Stop()
	nc, err := nats.Connect("", nats.InProcessServer(srv), nats.UserInfo("shop", "shop"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, permissionError(nc, nil, "jobs."))
	require.NoError(t, nc.Publish("jobs.1", nil))
	require.NoError(t, nc.Flush())
	require.ErrorIs(t, permissionError(nc, nil, "jobs."), nats.ErrPermissionViolation)
	require.NoError(t, permissionError(nc, nil, "mails."))
	require.NoError(t, permissionError(nc, nc.LastError(), "jobs."))
}
