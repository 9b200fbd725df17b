"""The help texts of the command line in Simplified Chinese, paragraph by paragraph. No logic.

Paragraphs that are examples of commands have no translation.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CHINESE_HELP: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Omipay from the command line: WeChat Pay, Alipay and UnionPay in Australia.": (
            "Omipay 命令行：在澳大利亚使用微信支付、支付宝和银联。"
        ),
        "Try it first, without a merchant account:": "没有商户账号也可以先试用：",
        "omipay demo payments, a refund and a crash, shown as a timeline omipay sandbox a gateway of your "
        "own; it prints what to export": (
            "  omipay demo      按时间线演示收款、退款和一次崩溃\n"
            "  omipay sandbox   启动您自己的网关，并打印要设置的环境变量"
        ),
        "It is configured by the environment:": "通过环境变量配置：",
        "OMIPAY_M_NUMBER the merchant's number, with its leading zeros OMIPAY_SECRET_KEY the API key; asked "
        "for at a terminal if it is not set OMIPAY_REGION AU (default) or CN OMIPAY_BASE_URL another "
        "address, up to and including /omipay/api OMIPAY_LANGUAGE EN or CHS: the language of this command, "
        "too OMIPAY_NOTIFY_URL where the gateway sends notifications of payments OMIPAY_BOOKS_URL where your "
        'program keeps its books, for "omipay books"': (
            "  OMIPAY_M_NUMBER    商户编号，包括开头的零\n"
            "  OMIPAY_SECRET_KEY  商户 API 密钥；未设置时在终端询问\n"
            "  OMIPAY_REGION      AU（默认）或 CN\n"
            "  OMIPAY_BASE_URL    其他网关地址，以 /omipay/api 结尾\n"
            "  OMIPAY_LANGUAGE    EN 或 CHS：也是本命令使用的语言\n"
            "  OMIPAY_NOTIFY_URL  网关发送支付通知的地址\n"
            "  OMIPAY_BOOKS_URL   程序的账本所在位置，供 omipay books 使用"
        ),
        "Exit codes (an error is one line on standard error):": "退出码（错误信息只有一行，输出到标准错误）：",
        "0 done 1 refused by the gateway, failed or declined 2 bad input or configuration 3 nobody knows "
        "whether money moved: do not repeat it 4 no usable answer 130 interrupted with Ctrl-C; the message says "
        "what was sent": (
            "  0  完成\n"
            "  1  网关拒绝、失败或支付被拒绝\n"
            "  2  输入或配置有误\n"
            "  3  无法确定资金是否已变动：请勿重试\n"
            "  4  没有可用的返回结果\n"
            "  130  被 Ctrl-C 中断；提示会说明已发送了什么"
        ),
        "Show the version.": "显示版本。",
        "Watch payments on a gateway in memory: no account, no network.": (
            "用内存中的网关演示支付：不需要账号，也不联网。"
        ),
        "A scan payment goes through USERPAYING to PAID and is partly refunded. A QR order is paid and "
        "fulfilled once. Then a reply is lost and the program ends; its books and a notification show what "
        "became of the charge.": (
            "一笔扫描支付（扫描付款码）从 USERPAYING 变为 PAID，再部分退款；\n"
            "一笔二维码订单支付后只发货一次；\n"
            "最后返回结果丢失、程序退出，由账本和通知查明这笔收款的结果。"
        ),
        "For machines: JSON, money as integers, rates as strings.": (
            "供程序使用：输出 JSON，\n\n金额为整数，汇率为字符串。"
        ),
        "Serve a gateway to develop against, and print the environment variables to set.": (
            "启动供开发使用的网关，并打印要设置的环境变量。"
        ),
        "It has every endpoint, pay pages for browsers, notifications, and at its root a dashboard on which "
        "orders are paid, declined and settled. Its merchant is for tests, with a key that works nowhere else. "
        "It answers only this machine.": (
            "它有全部接口、浏览器支付页面和支付通知；\n"
            "根路径是控制台页面，可以支付、拒绝和结算订单。\n"
            "它的商户只供测试，密钥在别处无效。只应答本机的请求。"
        ),
        "The port to listen on; 0 takes any free one.": "监听的端口；\n\n0 表示任一空闲端口。",
        "The address to listen on.": "监听的地址。",
        "The time between a payment and its notification.": "支付之后多久发送通知。",
        "With the same seed, numbers and random faults are the same in each run.": (
            "种子相同，\n\n编号和随机故障就相同。"
        ),
        "Let other machines in. The dashboard has no login.": "允许其他机器访问。\n\n控制台页面不需要登录。",
        "Use the merchant of OMIPAY_M_NUMBER and OMIPAY_SECRET_KEY instead of the test merchant.": (
            "使用 OMIPAY_M_NUMBER 和\n\nOMIPAY_SECRET_KEY 的商户，\n\n而不是测试商户。"
        ),
        "Show today's exchange rate, for reference.": "显示今天的汇率，仅供参考。",
        "Three capital letters: AUD.": "三个大写字母：AUD。",
        "The currency in which one unit of it is priced: CNY.": "以哪种货币计价：CNY。",
        "WECHATPAY (default), ALIPAY, ...": "WECHATPAY（默认）、ALIPAY 等。",
        "Make an order, draw its QR code, and wait until it is paid.": ("创建二维码订单，显示二维码，并等待支付。"),
        'The order\'s number is shown first, so that "omipay query" can ask about it later. With --json each '
        "line is an object: first the order, then what became of it.": (
            "首先显示订单编号，以后可用 omipay query 查询。\n使用 --json 时每行是一个对象：先是订单，然后是结果。"
        ),
        "What is sold; the customer reads it.": "商品名称，客户会看到。",
        "In minor units: A$4.50 is 450.": "以最小货币单位表示：A$4.50 是 450。",
        "Three capital letters: AUD, CNY.": "三个大写字母：AUD、CNY。",
        "Your own number of the sale, a new one for each.": "外部订单编号，每笔交易使用新的编号。",
        "WECHATPAY, ALIPAY or UPI.": "WECHATPAY、ALIPAY 或 UPI。",
        "The address to which the gateway sends the notification of the payment.": ("网关通知您的程序支付结果的地址。"),
        "The number of the store.": "门店编号。",
        "Draw the code into this file as well.": "同时把二维码保存到该文件。",
        "Only make the order and draw its code.": "只创建订单并显示二维码。",
        "The longest time to wait for the payment.": "等待支付的最长时间。",
        "Charge the payment code that a customer shows, and wait for the password.": (
            "扫描客户的付款码收款，并等待客户输入密码。"
        ),
        'Other users of this machine can see the arguments of a command with "ps". Where that matters, write '
        "- in place of the code.": "本机的其他用户可以用 ps 看到命令的参数。如有顾虑，请用 - 代替付款码。",
        "On exit code 3 nobody knows whether the customer was charged: do not scan again for this sale. With "
        "--json the last line shows what became of it.": (
            "退出码为 3 时，无法确定客户是否已被扣款：请勿对本笔交易再次扫码。\n使用 --json 时，最后一行说明结果。"
        ),
        "The customer's payment code. With - it is asked for, or read from standard input.": (
            "客户的付款码；填 - 时会询问，\n\n或从标准输入读取。"
        ),
        "The number of the till.": "POS 机编号。",
        "Do not ask for confirmation. Required where standard input is not a terminal.": (
            "不再确认。标准输入不是终端时必须加上。"
        ),
        "Ask the gateway about an order. Only this answer shows whether it is paid.": (
            "向网关查询订单。只有网关的查询结果能说明是否已支付。"
        ),
        'Exit code 0 means that the gateway answered, not that the order is paid: read "status", or '
        '"is_paid" with --json. With --wait, 0 means that it is paid, and 1 that it will not be paid.': (
            "退出码 0 表示网关已应答，不表示订单已支付：\n"
            "请看 status，或 --json 中的 is_paid。\n"
            "使用 --wait 时，0 表示已支付，1 表示不会再被支付。"
        ),
        "The gateway's number of the order.": "订单编号（由网关生成）。",
        "Wait until the status is final.": "等到出现最终状态为止。",
        "Refund a paid order, or a part of it, in the order's currency.": (
            "以订单的货币，对已支付的订单全额或部分退款。"
        ),
        'Exit code 0 means that the gateway accepted the refund. "omipay refund-status" shows when the money '
        "has arrived.": "退出码 0 表示网关已受理。款项是否到账请用 omipay refund-status 查询。",
        "On exit code 3 nobody knows whether it was accepted: ask Omipay's back office.": (
            "退出码为 3 时，无法确定是否已受理：请在 Omipay 商户后台查明。"
        ),
        "Your own number of the refund, a new one for each.": "外部退款单号，每次退款使用新的编号。",
        "Ask the gateway about a refund.": "向网关查询退款。",
        "Exit code 0 means that it answered; with --wait, that the money has arrived.": (
            "退出码 0 表示网关已应答；使用 --wait 时表示款项已到账。"
        ),
        "The gateway's number of the refund.": "退款单号（由网关生成）。",
        "The longest time to wait; refunds take days.": "等待的最长时间；退款需要数天。",
        "Explain a notification: which check it fails, and what the gateway answers.": (
            "分析一条通知：哪项检查未通过，网关的查询结果是什么。"
        ),
        "A valid signature does not prove a payment: it does not cover the body. Without --confirm, exit "
        "code 0 means that every check passed. With it, 0 means that the order is paid as the body says, "
        "however old the body is.": (
            "签名有效不能证明已支付：签名不包含正文。\n"
            "不加 --confirm 时，退出码 0 表示各项检查通过；\n"
            "加上后，0 表示订单确实如正文所述已支付，无论正文有多旧。"
        ),
        "The file with the body as it was received, or the body; without it, standard input.": (
            "保存通知正文的文件，或正文本身；\n\n不指定则读取标准输入。"
        ),
        "Ask the gateway: the only proof.": "向网关查询：只有这样才能证明。",
        "The greatest age of the signature that is accepted.": "签名距今的最长时间，超过则不接受。",
        "Check the connection to the gateway with one harmless signed query.": (
            "用一次无害的签名查询检查与网关的连接。"
        ),
        "It checks configuration, notify_url, DNS, TLS, this machine's clock and the key, and gives advice. "
        "The test notification of --notify is about an order that no gateway has. A program that asks the "
        "gateway first rejects it: this is right.": (
            "检查配置、notify_url、DNS、TLS、本机时钟和密钥，并给出建议。\n"
            "--notify 的测试通知所说的订单并不存在：先向网关查询的程序会拒绝它，\n"
            "这是正确的。"
        ),
        "Post a signed test notification to OMIPAY_NOTIFY_URL, and explain the answer.": (
            "向 OMIPAY_NOTIFY_URL 发送一条已签名的测试通知，\n\n并说明应答的含义。"
        ),
        "List the money calls whose result nobody knows, and the orders that are not paid or not fulfilled yet.": (
            "列出结果未知的资金调用，以及尚未支付或处理的订单。"
        ),
        "Such a call may have moved money or not: look it up in Omipay's back office. A confirmed notification "
        "resolves its call by itself.": (
            "这样的调用可能已造成资金变动，也可能没有：请在 Omipay 商户后台查明。\n"
            "通知得到核实后，相应的调用自动得出结果。"
        ),
        "sqlite:///omipay.db or postgresql://...; default: OMIPAY_BOOKS_URL.": (
            "sqlite:///omipay.db 或 postgresql://...；默认为 OMIPAY_BOOKS_URL。"
        ),
        "For machines: JSON, money as integers, times as ISO 8601.": (
            "供程序使用：输出 JSON，\n\n金额为整数，时间为 ISO 8601。"
        ),
        "Write down what you found out about a call in Omipay's back office.": "记录在 Omipay 商户后台查明的结果。",
        "If an order was made, give its number: the next sweep asks the gateway about it.": (
            "如果订单已创建，请给出订单编号：下一次查单会向网关查询。"
        ),
        "The whole ID that omipay books shows.": "omipay books 显示的完整 ID。",
        "DONE, NOT_DONE or UNKNOWN.": "DONE、NOT_DONE 或 UNKNOWN。",
        "The gateway's number of the order that was made.": "已创建订单的订单编号。",
        "Ask the gateway about every order that is due, and mark what is paid.": (
            "向网关查询所有到了查询时间的订单，并标记已支付的订单。"
        ),
        "It does not run your handler: the next sweep of your own program fulfils what is found paid here.": (
            "不运行您的处理函数：在此查到已支付的订单，由您的程序在下一次查单时处理。"
        ),
        "The largest number of orders to ask about.": "最多查询的订单数。",
    }
)
