package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	gomail "github.com/wneessen/go-mail"

	"github.com/natspatterns/catalog/internal/demo"
)

// mailbox is a mail server that keeps what it is given, where a real one would
// send it on.
type mailbox struct {
	tell func(letter)

	mu    sync.Mutex // guards what follows
	mails []letter
}

type letter struct{ To, Subject, Body string }

// serve takes mail until ctx ends.
func (m *mailbox) serve(ctx context.Context, l net.Listener) error {
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{box: m}, nil }))
	srv.Domain, srv.MaxMessageBytes, srv.ReadTimeout, srv.WriteTimeout = "mail", 1<<20, time.Minute, time.Minute
	srv.ErrorLog = log.New(io.Discard, "", 0) // a client that hangs up is no error
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := srv.Close()
	if ended := <-served; ended != nil && !errors.Is(ended, smtp.ErrServerClosed) && !errors.Is(ended, net.ErrClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

func (m *mailbox) all() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]letter(nil), m.mails...)
}

// client returns who sends mail to the mailbox.
func client(e *demo.Env) (*gomail.Client, error) {
	return gomail.NewClient("mail", gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithHELO("orders.example.com"), gomail.WithTimeout(10*time.Second),
		gomail.WithDialContextFunc(func(ctx context.Context, _, _ string) (net.Conn, error) { return e.Dial(ctx, "mail") }))
}

// session takes one mail after the other.
type session struct {
	box *mailbox
	to  string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasSuffix(to, ".invalid") { // a domain that by RFC 2606 nobody has
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 2}, Message: "no such host"}
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(msg.Body)
	if err != nil {
		return err
	}
	l := letter{s.to, msg.Header.Get("Subject"), string(body)}
	s.box.mu.Lock()
	s.box.mails = append(s.box.mails, l)
	s.box.mu.Unlock()
	if s.box.tell != nil {
		s.box.tell(l)
	}
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }
