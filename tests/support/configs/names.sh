while read -r url rest; do
    echo 'OK rewrite-url="127.0.0.1:@to@"'
done
