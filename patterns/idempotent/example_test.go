package idempotent_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/patterns/idempotent"
)

func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:accounts?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			log.Fatal(err)
		}
	}()
	if _, err := db.ExecContext(ctx, "CREATE TABLE accounts (name TEXT, balance INT); INSERT INTO accounts VALUES ('ann', 100)"); err != nil {
		log.Fatal(err)
	}
	payments, err := idempotent.NewTxReceiver(ctx, db, "payments", idempotent.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for delivery := range 11 { // of one message, as a consumer may
		done, err := payments.Once(ctx, "payment-1", func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - 30 WHERE name = 'ann'")
			return err
		})
		if err != nil {
			log.Fatal(err) // in a consumer: nak
		}
		if done { // in a consumer: ack, whether done or not
			fmt.Println("paid at delivery", delivery+1)
		}
	}
	var balance int
	if err := db.QueryRowContext(ctx, "SELECT balance FROM accounts WHERE name = 'ann'").Scan(&balance); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ann has", balance)
	// Output:
	// paid at delivery 1
	// ann has 70
}
