package query_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/query"
)

func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	// The service: only it knows the database.
	db, err := sql.Open("sqlite", "file:library?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }() // in memory: there is nothing to lose
	if _, err := db.ExecContext(ctx, "CREATE TABLE books (title TEXT, copies INTEGER); INSERT INTO books VALUES ('Emma', 3), ('Ulysses', 2)"); err != nil {
		log.Fatal(err)
	}
	type AtLeast struct{ Copies int }
	reader, err := query.NewReader(ctx, nc, "library", query.SQLite(db), []query.Statement{
		{Name: "books", Args: AtLeast{}, SQL: "SELECT title, copies FROM books WHERE copies >= $1 ORDER BY title"},
	}, query.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- reader.Run(ctx) }()

	// A client: it knows the name of the statement.
	type Book struct {
		Title  string `json:"title"`
		Copies int    `json:"copies"`
	}
	for book, err := range query.Rows[Book](ctx, nc, "library", "books", AtLeast{Copies: 2}) {
		if err != nil {
			log.Fatal(err) // without an error, the result is complete
		}
		fmt.Printf("%d of %s\n", book.Copies, book.Title)
	}

	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// 3 of Emma
	// 2 of Ulysses
	// stopped: <nil>
}
